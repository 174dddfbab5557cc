import type { Transport } from './delivery.js';

/**
 * A transport that the tabs of a user share: one tab has the stream, and tells the others. The name is that of the
 * stream in this origin, and must contain the user.
 */
export declare function shared(name: string, open: () => Transport): Transport;
