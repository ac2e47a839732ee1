// Text and bytes, random values, the console and timers.
(native) => {
  const { encode, decode, random, sleep, log } = native;
  const define = (values) => {
    for (const [name, value] of Object.entries(values))
      Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  };
  native.define = define;

  /** The bytes of a buffer, or of a view of one; else nothing. */
  native.bytesOf = (value) => {
    if (value instanceof Uint8Array) return value;
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  };

  class TextEncoder {
    encoding = "utf-8";
    encode(text = "") { return encode(String(text).toWellFormed()); }
  }

  class TextDecoder {
    #fatal;
    encoding = "utf-8";
    constructor(label = "utf-8", { fatal = false } = {}) {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`this decoder knows UTF-8 only, not ${label}`);
      this.#fatal = fatal;
    }
    decode(bytes = new Uint8Array()) {
      const text = decode(native.bytesOf(bytes), this.#fatal);
      return text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  }

  // The engine's own generator starts from the time of the build, in every instance from the same.
  Math.random = () => {
    const [high, low] = new Uint32Array(random(8).buffer);
    return ((high >>> 6) * 2 ** 27 + (low >>> 5)) / 2 ** 53;
  };

  const crypto = {
    getRandomValues(array) {
      const bytes = native.bytesOf(array);
      bytes.set(random(bytes.length));
      return array;
    },
    randomUUID() {
      const bytes = random(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    },
  };

  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value}\n${value.stack ?? ""}`.trimEnd();
    if (typeof value !== "object" || value === null) return typeof value === "bigint" ? `${value}n` : String(value);
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const print = (level) => (...values) => log(level, values.map(shown).join(" "));
  const console = {
    log: print("info"), info: print("info"), debug: print("info"), warn: print("error"), error: print("error"),
  };

  // Timers fire while the answer is waited for, earliest first.
  const timers = new Map();
  let last = 0;
  const start = (repeat) => (action, delay, ...values) => {
    const wait = Math.max(Number(delay) || 0, 0);
    timers.set(++last, { at: Date.now() + wait, every: repeat && Math.max(wait, 1), action, values });
    return last;
  };
  const clear = (id) => void timers.delete(id);
  native.tick = () => {
    let [id, next] = [0, null];
    for (const [key, timer] of timers) if (!next || timer.at < next.at) [id, next] = [key, timer];
    if (!next) return false;
    sleep(Math.max(next.at - Date.now(), 0));
    if (next.every) next.at = Date.now() + next.every;
    else timers.delete(id);
    next.action(...next.values);
    return true;
  };

  define({
    TextEncoder, TextDecoder, crypto, console,
    setTimeout: start(false), setInterval: start(true), clearTimeout: clear, clearInterval: clear,
  });
}
