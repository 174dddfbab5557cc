import type { Transport } from './delivery.js';
import type { ChannelOptions } from './pusher.js';

/** A transport over an instance of laravel-echo, with the broadcaster "pusher" or "reverb". */
export declare function echo(echo: object, options?: ChannelOptions): Transport;
