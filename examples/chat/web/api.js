// The routes that the page calls by itself, because the library's client has no calls for them.

/** Makes requests as the page's user. The server refuses them if the browser's session is another user's by then. */
export class Api {
  #headers;

  constructor(user) {
    this.#headers = { 'Content-Type': 'application/json', 'Delivery-User': encodeURIComponent(user) };
  }

  /** Returns a page of who got a message: {receipts, more, next}. Its fields are those of the query: after, limit, status. */
  receipts(message, fields) {
    return this.#call(`/api/receipts?${new URLSearchParams({ message, ...fields })}`);
  }

  async #call(url, body) {
    const answer = await fetch(url, { headers: this.#headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  }
}
