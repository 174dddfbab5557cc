// The routes that the page calls by itself: the library's that its client has no calls for, and the app's own.

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

  /** Marks a conversation as unread from a message on. Others do not learn of it. */
  markUnread(message) {
    return this.#call('/api/unread', { message });
  }

  /** Has nothing up to a message count as unread. Others do not learn of it. */
  dismiss(conversation, message) {
    return this.#call('/api/dismiss', { conversation, message });
  }

  /** Says whether others may see what the user reads. */
  hideReads(hide) {
    return this.#call('/settings', { hide_reads: hide });
  }

  async #call(url, body) {
    const answer = await fetch(url, { headers: this.#headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  }
}
