import type { Transport } from './delivery.js';

export interface ChannelOptions {
  /** Names the channel of a conversation. Default: as pusheradapter.PrivateChannel does. */
  channel?: (conversation: string) => string;
}

/** A transport over an instance of pusher-js, or of the small client of protocol.js. */
export declare function pusher(client: object, options?: ChannelOptions): Transport;
