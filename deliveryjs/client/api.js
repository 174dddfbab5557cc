// The routes of the server, which are described in the documentation of the Go package deliveryhttp.

import { Halt } from './task.js';

const PATIENCE = 10_000; // ms for an answer
const MAX_KEEPALIVE = 32_000; // bytes; all such requests of a page share 64 KiB

/** The server refused the request for good. Its code is one of those that deliveryhttp documents. */
export class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

export class Api {
  /** Called after each answer, with a code if nobody is signed in, or somebody other than the page's user. */
  onUser;
  #url;
  #user;
  #fetch;
  #socket;

  constructor(url, user, fetch, socket) {
    this.#url = url;
    this.#user = encodeURIComponent(user); // a header has no other letters
    this.#fetch = fetch;
    this.#socket = socket; // which is not told of what the page does itself
  }

  messages = (conversation, range) => this.#get('messages', { conversation, ...range });
  changes = (conversation, cursor) => this.#get('changes', { conversation, ...cursor });
  unread = async (conversations) => (await this.#get('unread', conversations.map((id) => ['conversation', id]))).unread;
  receipts = (message, after) => this.#get('receipts', { message, after, limit: 500 });
  send = (draft) => this.#post('messages', draft);
  remove = (deletion) => this.#post('messages/delete', deletion);
  mark = (marks) => this.#post('marks/batch', marks);
  markUpTo = (mark) => this.#post('marks/up-to', mark);
  dismiss = (mark) => this.#post('dismiss', mark);

  #get(path, fields) {
    return this.#call(`${path}?${new URLSearchParams(fields)}`, { headers: {} });
  }

  // A request with keepalive outlives its page, even if its connection is still being set up.
  #post(path, fields) {
    const body = JSON.stringify({ ...fields, socket: this.#socket() });
    const headers = { 'Content-Type': 'application/json' };
    return this.#call(path, { method: 'POST', headers, body, keepalive: new Blob([body]).size < MAX_KEEPALIVE });
  }

  async #call(path, request) {
    request.headers['Delivery-User'] = this.#user;
    request.signal = AbortSignal.timeout(PATIENCE);
    const fetch = this.#fetch;
    const answer = await fetch(`${this.#url}/${path}`, request);
    if (answer.ok) {
      const result = await answer.json();
      this.onUser();
      return result;
    }
    const { code, detail, title } = await answer.json().catch(() => ({}));
    const words = detail ?? title ?? `status ${answer.status}`;
    if (answer.status === 401 || code === 'other_user') {
      this.onUser(code ?? 'signed_out');
      throw new Halt(words);
    }
    // Only a problem of deliveryhttp is final. Anything else comes from something in between.
    throw code && answer.status < 500 ? new Refusal(words, code) : new Error(words);
  }
}
