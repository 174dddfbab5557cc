import type { Transport } from './delivery.js';

export interface StreamOptions {
  /** How long the stream may be without an event before it counts as broken, in ms. Default 45,000: three heartbeats. */
  silence?: number;
  /** Whether cookies go to another origin. Default false. */
  withCredentials?: boolean;
}

/**
 * A transport over server-sent events. The url is where sseadapter's Handler is mounted. A stream has at most 50
 * conversations. If more are joined, only the last 50 get events, until the page leaves some.
 */
export declare function eventSource(url: string, options?: StreamOptions): Transport;
