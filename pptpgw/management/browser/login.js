// Logging in by name and password.

import { fill, h, setText } from "./dom.js";

export function show(main, enter) {
  const name = h("input", { id: "name", name: "name", autocomplete: "username", required: true, dir: "auto" });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const fault = h("p", { class: "fault", role: "alert" });
  const doing = h("button", { class: "main" }, "Log in");
  const form = h("form", { class: "login" }, h("h1", {}, "Log in"),
    h("p", { class: "field" }, h("label", { for: "name" }, "Name"), name),
    h("p", { class: "field" }, h("label", { for: "password" }, "Password"), password),
    fault, doing,
    h("p", { class: "hint" }, "Operators are made by ", h("code", {}, "pptpgw operator add"), "."));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    doing.disabled = true;
    setText(fault, "");
    try {
      await enter("/login", { name: name.value, password: password.value });
    } catch (error) {
      setText(fault, error.message);
      password.select();
    } finally {
      doing.disabled = false;
    }
  });
  fill(main, form);
  name.focus();
}
