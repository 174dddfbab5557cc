export interface PusherOptions {
  wsHost: string;
  /** Default 80. */
  wsPort?: number | string;
  /** Default 443. */
  wssPort?: number | string;
  /** Default true. */
  forceTLS?: boolean;
  /** The endpoint that authorizes subscriptions to private channels, and what else to send there. */
  channelAuthorization?: { endpoint?: string; headers?: Record<string, string>; params?: Record<string, string> };
  /** Over how long the authorizations after a reconnection are spread, in ms. Default 6,000. */
  spread?: number;
}

/** A small client of the Pusher Channels protocol. It has the methods and properties of pusher-js that pusher() uses. */
export declare class Pusher {
  constructor(key: string, options: PusherOptions);
  readonly connection: { readonly state: string; readonly socket_id: string | null; bind(event: string, handler: (data: any) => void): unknown };
  subscribe(channel: string): { readonly name: string; readonly subscribed: boolean; bind(event: string, handler: (data: any) => void): unknown };
  unsubscribe(channel: string): void;
  disconnect(): void;
}
