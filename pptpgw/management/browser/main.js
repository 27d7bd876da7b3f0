// The frame of the console: who has logged in, the pages, and the connection to the gateway.

import * as api from "./api.js";
import { button, fill, foreign, h, notify, setText } from "./dom.js";
import * as login from "./login.js";
import * as active from "./active.js";
import * as configuration from "./configuration.js";
import * as dials from "./dials.js";
import * as events from "./events.js";
import * as imports from "./import.js";
import * as lockouts from "./lockouts.js";
import * as operators from "./operators.js";
import * as overview from "./overview.js";
import * as pools from "./pools.js";
import * as profiles from "./profiles.js";
import * as radius from "./radius.js";
import * as session from "./session.js";
import * as usage from "./usage.js";
import * as users from "./users.js";
import * as why from "./why.js";

// A page is there if the gateway has its operation, which the operator may ask for.
const PAGES = { overview, active, session, why, users, import: imports, profiles, usage, pools, dials, lockouts, radius, events, operators, configuration };

const main = document.getElementById("main");
const navigation = document.getElementById("navigation");
const banner = document.getElementById("banner");
let leaving = new AbortController();
let version = null;

function routeNow() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decodeURIComponent);
  return { name: name || "overview", parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

const isThere = (page) => api.may(...page.needs);

function frame() {
  const me = api.who();
  fill(navigation, me ? Object.entries(PAGES)
    .filter(([, page]) => isThere(page) && !page.isHidden)
    .map(([name, page]) => h("a", { href: `#/${name}`, id: `to-${name}` }, page.title)) : []);
  fill(document.getElementById("operator"), me ? [foreign(me.name), ` (${me.role}) `,
    me.csrf_token ? button("Log out", () => api.logOut()) : null] : []);
}

function show() {
  leaving.abort();
  leaving = new AbortController();
  document.querySelectorAll("dialog").forEach((one) => one.close());
  notify("");
  if (api.who() === null) {
    document.title = "Log in · pptpgw";
    fill(navigation);
    fill(document.getElementById("operator"));
    login.show(main, enter);
    return;
  }
  const route = routeNow();
  const page = PAGES[route.name];
  for (const link of navigation.children) {
    const isCurrent = link.id === `to-${page?.of ?? route.name}`;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!page || !isThere(page)) {
    fill(main, h("h1", {}, "There is no such page"), h("p", {}, "Choose one above."));
    return;
  }
  document.title = `${page.title} · pptpgw`;
  fill(main);
  page.show(main, route, leaving.signal);
}

// Log in if needed, and show the page that the address names.
async function enter(how = null, body = null) {
  await api.begin(how, body);
  if (version !== null && api.version() && api.version() !== version) location.reload();
  version = api.version() ?? version;
  frame();
  show();
  if (api.who()) {
    const status = await api.get("/status");
    setText(document.getElementById("gateway"), status.name);
  }
}

async function start() {
  const token = /^#login=(.+)$/.exec(location.hash)?.[1];
  let fault = "";
  if (token) {
    history.replaceState(null, "", "#/");
    try {
      await enter("/login/link", { token });
      return;
    } catch (error) {
      fault = error.message;
    }
  }
  await enter();
  if (fault) notify(fault);
}

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#login=")) start().catch(unsaid);
  else show();
  main.focus();
});
api.changes.addEventListener("login", () => {
  frame();
  show();
  notify("Your session is over: log in again.");
});
api.changes.addEventListener("offline", () => {
  setText(banner, "The connection to the gateway is lost. Trying again…");
  banner.hidden = false;
});
api.changes.addEventListener("online", () => {
  banner.hidden = true;
  setText(banner, "");
  notify("The connection to the gateway is back.");
  if (version === null) enter().catch(unsaid);
});

function unsaid(error) {
  if (!error.isSaid) notify(error.message);
}

start().catch(unsaid);
