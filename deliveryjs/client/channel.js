// The names of the channels on which the Go package pusheradapter publishes.

/**
 * Returns the private channel of a conversation, as pusheradapter.PrivateChannel does in Go: bytes other than letters,
 * digits and - _ @ . are escaped.
 * @param {string} conversation
 */
export const privateChannel = (conversation) => `private-conv-${escaped(conversation)}`;

/**
 * Returns a user's own channel, as pusheradapter.UserChannel does in Go.
 * @param {string} user
 */
export const userChannel = (user) => `private-user-${escaped(user)}`;

function escaped(id) {
  const escape = (byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  const letters = [...new TextEncoder().encode(id)].map((byte) => {
    const letter = String.fromCharCode(byte);
    return /[A-Za-z0-9_@.-]/.test(letter) ? letter : escape(byte);
  });
  return letters.join('');
}

/** The names of the events of deliverywire. */
export const KINDS = ['message', 'status', 'deleted', 'pruned', 'own'];
