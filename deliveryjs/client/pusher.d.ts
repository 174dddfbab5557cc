import type { Transport } from './delivery.js';

export interface ChannelOptions {
  /** Names the channel of a conversation. Default: as pusheradapter.PrivateChannel does. */
  channel?: (conversation: string) => string;
  /**
   * Names the channel of the user's own devices, null if there is none. Default: as pusheradapter.UserChannel does, and null
   * if channel is set.
   */
  userChannel?: ((user: string) => string) | null;
}

/** A transport over an instance of pusher-js, or of the small client of protocol.js. */
export declare function pusher(client: object, options?: ChannelOptions): Transport;
