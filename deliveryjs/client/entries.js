// What a page still has to tell the server, kept where a reload does not lose it.

/**
 * Named values in the browser's storage. Each has a key of its own, so that several tabs do not overwrite each other's.
 * A value goes to localStorage, to sessionStorage if that is full or forbidden, and into memory if both are.
 */
export class Entries {
  #prefix;
  #memory = new Map();

  /** @param {string} prefix of all keys */
  constructor(prefix) {
    this.#prefix = prefix;
  }

  /**
   * @param {string} key
   * @param {unknown} value that JSON can hold
   * @returns {boolean} whether it survives a reload
   */
  put(key, value) {
    this.delete(key);
    const text = JSON.stringify(value);
    for (const store of stores()) {
      try {
        store.setItem(this.#prefix + key, text);
        return true;
      } catch {
        // It is full: the next one may not be.
      }
    }
    this.#memory.set(this.#prefix + key, text);
    return false;
  }

  /** @param {string} key */
  delete(key) {
    for (const store of stores()) store.removeItem(this.#prefix + key);
    this.#memory.delete(this.#prefix + key);
  }

  /** @param {string} key */
  has(key) {
    return this.all().some(([at]) => at === key);
  }

  /** @returns {[key: string, value: any][]} */
  all() {
    const texts = new Map(this.#memory);
    for (const store of stores()) {
      for (const key of Object.keys(store)) if (key.startsWith(this.#prefix)) texts.set(key, store.getItem(key));
    }
    return [...texts].flatMap(([key, text]) => {
      try {
        return [[key.slice(this.#prefix.length), JSON.parse(text)]];
      } catch {
        return []; // not written by us
      }
    });
  }
}

function stores() {
  return ['localStorage', 'sessionStorage'].flatMap((name) => {
    try {
      return globalThis[name] ?? [];
    } catch {
      return []; // the user forbids it
    }
  });
}
