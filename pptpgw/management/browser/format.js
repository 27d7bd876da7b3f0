// Numbers and times in words. Which words a field gets follows from its name, which has its unit.

const UNITS = ["", "k", "M", "G", "T", "P"];
const NAMES = { radius: "RADIUS", cpu: "CPU", mppe: "MPPE", id: "ID", ipv4: "IPv4", ipv6: "IPv6", dns: "DNS" };

function scaled(value, base, unit) {
  let size = Math.abs(value);
  let step = 0;
  while (size >= base && step < UNITS.length - 1) {
    size /= base;
    step += 1;
  }
  const digits = step === 0 && Number.isInteger(value) ? 0 : size < 10 ? 2 : size < 100 ? 1 : 0;
  const prefix = UNITS[step] + (base === 1024 && step ? "i" : "");
  return `${value < 0 ? "-" : ""}${size.toFixed(digits)} ${prefix}${unit}`;
}

export const octets = (value) => scaled(value, 1024, "B");
export const bits = (value) => scaled(value, 1000, "b/s");
export const count = (value) => value.toLocaleString("en", { maximumFractionDigits: 2 });

// Return the number with the words that follow it, which differ after 1.
export const counted = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;

export function duration(value) {
  const sign = value < 0 ? "-" : "";
  const seconds = Math.abs(value);
  if (seconds < 0.9995 && seconds > 0) return `${sign}${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 60) return `${sign}${seconds.toFixed(seconds < 10 && !Number.isInteger(seconds) ? 1 : 0)} s`;
  const whole = Math.floor(seconds);
  const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  const two = (one) => String(one).padStart(2, "0");
  if (days) return `${sign}${days}d ${two(hours)}:${two(minutes)}:${two(rest)}`;
  return `${sign}${hours}:${two(minutes)}:${two(rest)}`;
}

const two = (one) => String(one).padStart(2, "0");

export function clock(value) {
  const when = new Date(value * 1000);
  return `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
}

export function time(value) {
  const when = new Date(value * 1000);
  const day = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())}`;
  return `${day} ${clock(value)}`;
}

const TIMES = /^(time|started|until|since|created|expires|deadline|password_changed|after|before|seen|used|.*_at)$/;

export const isTime = (name) => TIMES.test(name);

// Return the function that puts a number of the field into words.
export function formatOf(name) {
  if (isTime(name)) return time;
  if (/_seconds$|^seconds$|_seconds_/.test(name)) return duration;
  if (/^rate_|_rate$/.test(name)) return bits;
  if (/octets|memory/.test(name)) return octets;
  return count;
}

// Return the value of a field in words.
export function shown(name, value) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return formatOf(name)(value);
  if (Array.isArray(value)) return value.map((one) => shown(name, one)).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .filter(([, one]) => one !== null && one !== "")
      .map(([key, one]) => `${label(key)} ${shown(key, one)}`)
      .join(", ");
  }
  return String(value);
}

// Return the name of a field in words, without its unit.
export function label(name) {
  const words = name.replace(/_(seconds|octets)$/, "").split(/[_-]/);
  const text = words.map((one) => NAMES[one] ?? one).join(" ");
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
