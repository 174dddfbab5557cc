import type { Transport } from './delivery.js';

/**
 * A transport that the tabs of a user share: one tab has the stream, and tells the others. All tabs of one origin
 * that use the same name share a stream, so the name must contain the user's id.
 */
export declare function shared(name: string, open: () => Transport): Transport;
