/** The status of a message, or of one's own receipt of it. */
export type Status = 'sent' | 'delivered' | 'read';

export interface Options {
  /** The id of the user whom the page was made for. The server refuses a request of the page if another user is signed in in the browser by then. */
  user: string;
  /** What brings events: pusher, echo, eventSource, or an app's own. */
  transport: Transport;
  /** Where the routes of deliveryhttp are mounted. Default '/api'. */
  api?: string;
  /** How long the last line of a message has to be on the screen before it counts as read, in ms. Default 500. */
  dwell?: number;
  /** For how long after the user's last input (pointer, key, wheel or touch) what is on the screen still counts as read, in ms. Default 60,000. */
  idle?: number;
  /** Makes the requests. Default the browser's fetch. An app adds headers or credentials here. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

export interface Message {
  id: string;
  sender: string;
  body: string;
  /** The place in the conversation. Infinity while the message is not sent. */
  seq: number;
  /** When the message was sent or, if it arrived with an event, when it arrived. */
  sentAt: Date;
  /** The status that enough recipients have reached: see delivery.Audience.Quorum. It is 'sending' while the message waits in the browser's queue, and 'failed' if the server refused it. */
  status: Status | 'sending' | 'failed';
  /** How many recipients it has reached, those who have read it included. */
  delivered: number;
  read: number;
  /** How many recipients the message has, not counting those whose marks others never see. 0 if the recipients are not known in advance. */
  total: number;
  /** How many of these do not hide reads. */
  readers: number;
  /** For how many recipients the app has recorded that the message did not reach them. It falls when such a recipient gets the message some other way. */
  failed: number;
  /** The page's own receipt: undefined for the user's own messages, and for those that the user may not mark. */
  own?: Exclude<Status, 'sent'>;
  version: number;
  /** Why the server refused it. */
  reason?: string;
  /** False if the browser's storage is full, so that a reload loses the message. Only for a message in the browser's queue. */
  kept?: boolean;
}

export interface Receipt {
  message: string;
  recipient: string;
  status: Status;
  version: number;
  delivered_at?: string;
  read_at?: string;
  /** Why the message did not reach the recipient, in the app's own words. Only at the status 'sent'. */
  failure?: string;
  /** Why the receipt may show less than the truth: the recipient was untracked, or hid reads, when the message was sent, or a time was removed because the message is old. */
  reason?: 'untracked' | 'capped' | 'expired';
}

/** What the user has received and read of a conversation, on all devices. Each number is a seq, but for rev. */
export interface Place {
  /** Counts the user's private changes. */
  rev: number;
  /** Everything up to here has come to the user. */
  delivered: number;
  /** Nothing up to here counts as unread. */
  badge: number;
  /** The user has marked the conversation as unread from this seq on. 0 if not. If a mark by this page ends that, the page is not told. */
  flag: number;
}

interface ConversationEvents {
  /** A message is new or has changed. */
  message: CustomEvent<Message>;
  /** The id of a message that the page no longer has: it was deleted, discarded or pruned, or the page has started over. */
  removed: CustomEvent<string>;
  /** The server does not let the user read the conversation. It is asked again when the connection or the user comes back. */
  refused: CustomEvent<Refusal>;
  /** Something else may have changed: loaded, more, unread, firstUnread, place. */
  update: Event;
}

export declare class Conversation extends EventTarget {
  private constructor();
  readonly id: string;
  /** By id, in no order. */
  readonly messages: ReadonlyMap<string, Message>;
  readonly loaded: boolean;
  /** Whether the server has messages before the first one here. */
  readonly more: boolean;
  /** How many messages are unread, loaded or not. Infinity if there are more than the server counts, 1,000. */
  readonly unread: number;
  /** The first unread message as of the last count. It may not be loaded itself. */
  readonly firstUnread?: { id: string; seq: number };
  /** The user's place, as far as the page knows. Its rev is -1 until the messages are loaded. */
  readonly place: Place;
  /** The messages in order. Those that are not sent yet come last. */
  sorted(): Message[];
  /** Queues a message and returns its id. The queue survives a reload. */
  send(body: string): string;
  /** Forgets a message that the server refused, and returns its text. */
  discard(id: string): string | undefined;
  /** Deletes one of the user's own messages for everyone. Rejects if the server did not do so. */
  remove(id: string): Promise<void>;
  /**
   * Marks the message as read when the whole element has been on the screen long enough. Pass the last line of the message,
   * because the whole of an element that is taller than the screen never is.
   */
  watch(element: Element, id: string): void;
  /** Marks a message as read. */
  read(id: string): void;
  /** Marks all messages as read, those that are not loaded included. */
  readAll(): Promise<void>;
  /** Loads older messages: the 50 before the first one here or, with from, all back to that seq. */
  earlier(from?: number): Promise<void>;
  /** Who has got a message, and when. */
  receipts(message: string): Promise<Receipt[]>;
  /** Asks the server how much is unread, after a delay in ms. */
  recount(delay?: number): void;
  /** Asks the server for changes, after a delay in ms. */
  sync(delay?: number): void;

  addEventListener<K extends keyof ConversationEvents>(type: K, listener: (event: ConversationEvents[K]) => void, options?: AddEventListenerOptions): void;
}

export declare class Delivery extends EventTarget {
  constructor(options: Options);
  /** Whether events come. The event 'state' announces changes. */
  readonly state: 'connecting' | 'connected' | 'unavailable';
  /**
   * Set while the server answers that nobody is signed in, or somebody other than the page's user. The event 'user'
   * announces changes. While it is set, the page sends and marks nothing. It tries again when the user comes back to the page.
   */
  readonly stranger?: 'signed_out' | 'other_user';
  /** Follows a conversation. Calling it again returns the same one. */
  conversation(id: string): Conversation;
  /** Follows a conversation no longer. */
  leave(id: string): void;
  /** Ends everything. What is queued stays for the next page. */
  stop(): void;

  addEventListener(type: 'state' | 'user', listener: (event: Event) => void, options?: AddEventListenerOptions): void;
}

/** The server refused a request for good. The code is one of those that deliveryhttp documents. */
export declare class Refusal extends Error {
  readonly code: string;
}

/** What brings events to the page. Write one for a carrier of your own. */
export interface Transport {
  /** Called once, before anything else. */
  start(hub: Hub): void;
  /** Starts listening to a conversation. Call hub.live when its events begin to come: the first time, and again after each interruption. */
  join(conversation: string): void;
  leave(conversation: string): void;
  /** The id of the connection, which is not told of what the page does itself. */
  socket(): string | null | undefined;
  /**
   * Called when the server knows the page's user again, after it answered that nobody or somebody else is signed in.
   * Reconnect if the connection may have been made, or a subscription refused, while nobody or somebody else was signed in.
   */
  renew?(): void;
  stop?(): void;
}

/** Where a transport brings the events. */
export interface Hub {
  /** The id of the page's user. */
  readonly user: string;
  /** An event of deliverywire. */
  event(kind: 'message' | 'status' | 'deleted' | 'pruned' | 'own', payload: { conversation: string; from: number; to: number; shared?: object; updates: object[] }): void;
  /**
   * The events of a conversation come from now on. The page then asks for what it missed: at once the first time, and
   * from then on after a random delay of up to jitter, in ms (default 6,000). A transport that itself brings all events
   * after some position passes that in the parameter from. If the page knows the changes up to there, it asks for nothing.
   */
  live(conversation: string, jitter?: number, from?: Position): void;
  /**
   * Call it each time the events for the user's own devices, of the kind 'own', start to come. The page then asks for what it
   * missed.
   */
  mine(): void;
  /** The page has to start over with a conversation. */
  reset(conversation: string): void;
  state(state: 'connecting' | 'connected' | 'unavailable'): void;
  /** Up to which version the page knows a conversation, if it does. */
  position(conversation: string): Position | undefined;
}

export interface Position {
  version: number;
  epoch: string;
}
