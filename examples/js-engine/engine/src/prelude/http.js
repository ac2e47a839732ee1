// Headers, requests, responses, and calls to others. Bodies are whole: nothing is streamed.
(native) => {
  const { call, define, encode, bytesOf } = native;

  const BODILESS = /^(GET|HEAD)$/;

  /** The host passes headers as name, value, name, value. */
  const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, at) => flat.slice(2 * at, 2 * at + 2));

  class Headers {
    /** Names in lower case and values, in the order they came in. */
    #list = [];
    constructor(init = {}) {
      const pairs = init === null ? [] : init[Symbol.iterator] ? init : Object.entries(init);
      for (const [name, value] of pairs) this.append(name, value);
    }
    static #name(name) {
      const lower = String(name).toLowerCase();
      if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(lower)) throw new TypeError(`Invalid header name: ${name}`);
      return lower;
    }
    static #value(value) {
      const text = String(value).trim();
      if (/[\0\r\n]/.test(text)) throw new TypeError("a header's value is one line");
      return text;
    }
    append(name, value) { this.#list.push([Headers.#name(name), Headers.#value(value)]); }
    delete(name) {
      const lower = Headers.#name(name);
      this.#list = this.#list.filter((pair) => pair[0] !== lower);
    }
    set(name, value) {
      this.delete(name);
      this.append(name, value);
    }
    has(name) { return this.#all(name).length > 0; }
    get(name) {
      const all = this.#all(name);
      return all.length ? all.join(", ") : null;
    }
    getSetCookie() { return this.#all("set-cookie"); }
    #all(name) {
      const lower = Headers.#name(name);
      return this.#list.filter((pair) => pair[0] === lower).map((pair) => pair[1]);
    }
    forEach(action) { for (const [name, value] of this) action(value, name, this); }
    *keys() { for (const [name] of this) yield name; }
    *values() { for (const [, value] of this) yield value; }
    /** Each name once, in order; but cookies cannot be joined into one value. */
    *entries() {
      for (const name of [...new Set(this.#list.map((pair) => pair[0]))].sort()) {
        if (name === "set-cookie") for (const value of this.#all(name)) yield [name, value];
        else yield [name, this.get(name)];
      }
    }
    [Symbol.iterator]() { return this.entries(); }
  }

  /** What requests and responses have in common. */
  class Message {
    #body = null;
    constructor(body, headers) {
      this.headers = new Headers(headers);
      if (body === null || body === undefined) return;
      this.#body = bytesOf(body) ?? encode(String(body).toWellFormed());
      if (bytesOf(body) || this.headers.has("content-type")) return;
      const type = body instanceof URLSearchParams ? "application/x-www-form-urlencoded" : "text/plain";
      this.headers.set("content-type", type + ";charset=UTF-8");
    }
    static bytes(message) { return message.#body; }
    async bytes() { return this.#body?.slice() ?? new Uint8Array(); }
    async arrayBuffer() { return (await this.bytes()).buffer; }
    async text() { return this.#body ? new TextDecoder().decode(this.#body) : ""; }
    async json() { return JSON.parse(await this.text()); }
  }

  class Request extends Message {
    constructor(input, init = {}) {
      const from = input instanceof Request ? input : {};
      const body = init.body ?? (input instanceof Request ? Message.bytes(input) : null);
      super(body, init.headers ?? from.headers);
      this.method = String(init.method ?? from.method ?? "GET").toUpperCase();
      this.url = input instanceof Request ? input.url : new URL(input).href;
      if (body !== null && BODILESS.test(this.method)) throw new TypeError(`a ${this.method} has no body`);
    }
    clone() { return new Request(this); }
  }

  class Response extends Message {
    constructor(body = null, { status = 200, statusText = "", headers } = {}) {
      if (!Number.isInteger(status) || status < 200 || status > 599)
        throw new RangeError(`a response's status is 200 to 599, not ${status}`);
      super(body, headers);
      this.status = status;
      this.statusText = String(statusText);
      this.ok = status < 300;
    }
    static json(value, init = {}) {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError("this value has no JSON");
      const headers = new Headers(init.headers);
      if (!headers.has("content-type")) headers.set("content-type", "application/json");
      return new Response(text, { ...init, headers });
    }
    static redirect(url, status = 302) { return new Response(null, { status, headers: { location: String(url) } }); }
    clone() { return new Response(Message.bytes(this), this); }
  }

  const fetch = async (input, init) => {
    const request = new Request(input, init);
    const { protocol } = new URL(request.url);
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`fetch knows no ${protocol}`);
    const sent = [...request.headers].flat();
    const answer = call(request.method, request.url.replace(/#.*$/, ""), sent, Message.bytes(request));
    return new Response(answer.body, { status: answer.status, headers: pairs(answer.headers) });
  };

  /** The request that came in. */
  native.request = (method, url, headers, body) =>
    new Request(url, { method, headers: pairs(headers), body: BODILESS.test(method) ? null : body });
  /** What goes out for a response. */
  native.sent = (response) => ({
    status: response.status,
    headers: [...response.headers].flat(),
    body: Message.bytes(response),
  });

  define({ Headers, Request, Response, fetch });
}
