// The store, and how a request is served.
(native) => {
  const { encode, decode, bytesOf } = native;

  native.define({
    store: {
      get(key) {
        const value = native.get(String(key));
        return value ? decode(value, false) : null;
      },
      set(key, value) { native.set(String(key), bytesOf(value) ?? encode(String(value).toWellFormed())); },
      delete(key) { native.delete(String(key)); },
      /** Counts, whoever else counts at the same time: a get and a set would lose what comes between. */
      increment(key, by = 1) {
        if (!Number.isSafeInteger(by) || by < 0) throw new RangeError(`a counter goes up by whole numbers, not ${by}`);
        return native.increment(String(key), by);
      },
      keys(prefix = "") { return native.keys(String(prefix)); },
    },
  });

  native.serve = async (script, method, url, headers, body, variables) => {
    const handler = script.default;
    if (typeof handler?.fetch !== "function")
      throw new TypeError("the script has no `export default { fetch(request) { ... } }`");
    const response = await handler.fetch(native.request(method, url, headers, body), variables);
    if (!(response instanceof Response)) throw new TypeError("`fetch` gave no Response");
    return native.sent(response);
  };
}
