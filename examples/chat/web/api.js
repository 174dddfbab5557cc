// The server's routes as functions. They throw a Refusal if repeating the request is useless, and any other error
// if it may succeed later.

const PATIENCE = 10_000; // ms

export class Refusal extends Error {}

async function call(method, path, fields) {
  const request = { method, signal: AbortSignal.timeout(PATIENCE) };
  let url = `/api/${path}`;
  if (method === 'GET') {
    url += `?${new URLSearchParams(fields)}`;
  } else {
    request.headers = { 'Content-Type': 'application/json' };
    request.body = JSON.stringify(fields);
  }
  const answer = await fetch(url, request);
  if (answer.status === 401) {
    location.assign('/login'); // unsent messages and marks wait in the outbox
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const final = answer.status < 500 && ![401, 408, 429].includes(answer.status);
    throw new (final ? Refusal : Error)(problem.detail ?? problem.title ?? `status ${answer.status}`);
  }
  return answer.json();
}

export const messages = (conversation, range = {}) => call('GET', 'messages', { conversation, ...range });
export const changes = (conversation, cursor) => call('GET', 'changes', { conversation, ...cursor, limit: 200 });
export const unread = async (conversation) => (await call('GET', 'unread', { conversation })).unread[0];
export async function receipts(message) {
  const all = [];
  for (let page = { more: true, next: '' }; page.more; ) {
    page = await call('GET', 'receipts', { message, after: page.next, limit: 500 });
    all.push(...page.receipts);
  }
  return all;
}
export const send = (draft) => call('POST', 'messages', draft);
export const remove = (deletion) => call('POST', 'messages/delete', deletion);
export const mark = (marks) => call('POST', 'marks/batch', marks);
export const markUpTo = (mark) => call('POST', 'marks/up-to', mark);
