// Runs in every page before its own scripts. It notes how the ticks of messages turn, and whether one ever goes back.
{
  const RANK = ['sending', 'sent', 'delivered', 'read'];
  const turns = new Map(); // by message id: the states that it was shown in
  const backwards = [];

  const note = (item) => {
    const { messageId: id, status, delivered, read } = item.dataset;
    if (status === undefined) return; // somebody else's, without ticks
    const state = [RANK.indexOf(status), Number(delivered), Number(read)];
    const before = turns.get(id) ?? [];
    const last = before.at(-1);
    if (last?.join() === state.join()) return;
    if (last?.some((n, i) => n > state[i])) backwards.push(`${id}: ${last} became ${state}`);
    turns.set(id, [...before, state]);
  };

  new MutationObserver(() => document.querySelectorAll('.message').forEach(note)).observe(document, {
    subtree: true,
    childList: true,
    attributeFilter: ['data-status', 'data-delivered', 'data-read'],
  });

  window.watch = {
    backwards,
    // message returns the element that shows a text, in whatever conversation.
    message: (text) => [...document.querySelectorAll('.message')].find((m) => m.querySelector('.body').textContent === text),
    // turns returns the statuses that a message was shown with, in order.
    turns: (text) => {
      const states = turns.get(window.watch.message(text).dataset.messageId).map(([rank]) => RANK[rank]);
      return states.filter((status, i) => status !== states[i - 1]);
    },
  };
}
