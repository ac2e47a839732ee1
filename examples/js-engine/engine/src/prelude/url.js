// URLs of http and https, and their queries.
({ define }) => {
  const decoded = (text) => {
    const spaced = text.replaceAll("+", " ");
    try {
      return decodeURIComponent(spaced);
    } catch {
      return spaced;
    }
  };
  const encoded = (text) =>
    encodeURIComponent(text.toWellFormed())
      .replace(/[!'()~]/g, (letter) => "%" + letter.charCodeAt(0).toString(16).toUpperCase())
      .replaceAll("%20", "+");

  class URLSearchParams {
    #list = [];
    /** Called after each change; how a URL knows. */
    #changed;
    constructor(init = "", changed = () => {}) {
      if (typeof init === "string") {
        for (const part of init.replace(/^\?/, "").split("&").filter(Boolean)) {
          const [name, ...value] = part.split("=");
          this.#list.push([decoded(name), decoded(value.join("="))]);
        }
      } else {
        for (const [name, value] of init[Symbol.iterator] ? init : Object.entries(init))
          this.#list.push([String(name), String(value)]);
      }
      this.#changed = changed;
    }
    get size() { return this.#list.length; }
    get(name) { return this.#list.find((pair) => pair[0] === name)?.[1] ?? null; }
    getAll(name) { return this.#list.filter((pair) => pair[0] === name).map((pair) => pair[1]); }
    has(name) { return this.#list.some((pair) => pair[0] === name); }
    append(name, value) {
      this.#list.push([String(name), String(value)]);
      this.#changed();
    }
    set(name, value) {
      const first = this.#list.findIndex((pair) => pair[0] === name);
      if (first < 0) return this.append(name, value);
      this.#list = this.#list.filter((pair, index) => pair[0] !== name || index === first);
      this.#list[first][1] = String(value);
      this.#changed();
    }
    delete(name) {
      this.#list = this.#list.filter((pair) => pair[0] !== name);
      this.#changed();
    }
    sort() {
      this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#changed();
    }
    forEach(action) { for (const [name, value] of this) action(value, name, this); }
    *keys() { for (const [name] of this.#list) yield name; }
    *values() { for (const [, value] of this.#list) yield value; }
    *entries() { for (const pair of this.#list) yield [...pair]; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#list.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&"); }
  }

  const WHOLE = /^([a-z][a-z0-9+.-]*:)\/\/(?:[^/?#@]*@)?([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/i;
  const PORTS = { "http:": "80", "https:": "443" };

  /** A path without `.` and `..`. */
  const plain = (path) => {
    const parts = [];
    const given = path.split("/").slice(1);
    given.forEach((part, index) => {
      if (part === "..") parts.pop();
      else if (part !== ".") parts.push(part);
      if ((part === ".." || part === ".") && index === given.length - 1) parts.push("");
    });
    return "/" + parts.join("/");
  };

  /** A relative reference, made whole by the URL it stands in. */
  const joined = (text, base) => {
    if (text.startsWith("//")) return base.protocol + text;
    if (text.startsWith("/")) return base.origin + text;
    if (text.startsWith("?")) return base.origin + base.pathname + text;
    if (text.startsWith("#") || text === "") return base.origin + base.pathname + base.search + text;
    return base.origin + base.pathname.replace(/[^/]*$/, "") + text;
  };

  /** What stands in a URL only behind a percent sign. */
  const escaped = (part) =>
    part.replace(/[\s"<>`{}^\u0080-\uffff]+/g, (some) => encodeURIComponent(some.toWellFormed()));

  class URL {
    #search;
    #params;
    constructor(text, base) {
      let whole = String(text).trim();
      if (base !== undefined && !/^[a-z][a-z0-9+.-]*:/i.test(whole)) whole = joined(whole, new URL(base));
      const found = WHOLE.exec(whole);
      if (!found || !found[2]) throw new TypeError(`Invalid URL: ${text}`);
      this.protocol = found[1].toLowerCase();
      const [, hostname, port = ""] = /^(.*?)(?::(\d*))?$/.exec(found[2]);
      this.hostname = hostname.toLowerCase();
      this.port = port === PORTS[this.protocol] ? "" : port;
      this.pathname = plain(escaped(found[3] || "/"));
      this.#search = !found[4] || found[4] === "?" ? "" : escaped(found[4]);
      this.hash = !found[5] || found[5] === "#" ? "" : escaped(found[5]);
    }
    static canParse(text, base) {
      try {
        return Boolean(new URL(text, base));
      } catch {
        return false;
      }
    }
    get host() { return this.hostname + (this.port && ":" + this.port); }
    get origin() { return `${this.protocol}//${this.host}`; }
    get search() { return this.#search; }
    set search(text) {
      this.#search = text && text !== "?" ? "?" + String(text).replace(/^\?/, "") : "";
      this.#params = undefined;
    }
    get searchParams() {
      this.#params ??= new URLSearchParams(this.#search, () => {
        const text = this.#params.toString();
        this.#search = text && "?" + text;
      });
      return this.#params;
    }
    get href() { return this.origin + this.pathname + this.#search + this.hash; }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }

  define({ URL, URLSearchParams });
}
