// The Outbox holds the messages and marks that this page still has to send to the server. An entry stays in
// localStorage until the server has confirmed it, so that neither a reload nor a server that is away loses it.
// Sending an entry twice does no harm: messages get their ids here, and marks only move forward.

import * as api from './api.js';
import { Task } from './task.js';

const BATCH_PAUSE = 50; // ms for which marks are collected
const BATCH_LIMIT = 500; // marks in a request

const PASSING = ['unavailable', 'outcome_unknown', 'internal']; // errors after which a mark may be repeated

export class Outbox {
  #prefix;
  #conversations;
  #socket;
  #tasks = {
    message: new Task(() => this.#sendMessages()),
    delivered: new Task(() => this.#sendDelivered()),
    read: new Task(() => this.#sendRead()),
  };

  // socket is a function that returns the id of the page's connection, if it has one. The server does not tell that
  // connection of the changes that the page makes.
  constructor(user, conversations, socket) {
    this.#prefix = `chat/${user}/`;
    this.#conversations = conversations;
    this.#socket = socket;
  }

  // resume sends what an earlier page left unsent.
  resume() {
    for (const draft of this.#entries('message')) this.#conversations.get(draft.conversation)?.add(draft);
    for (const task of Object.values(this.#tasks)) task.request();
  }

  // hurry ends the pauses after failures.
  hurry() {
    for (const task of Object.values(this.#tasks)) task.hurry();
  }

  // send shows a message and has it sent.
  send(conversation, body) {
    const draft = { id: crypto.randomUUID(), conversation: conversation.id, body, at: Date.now() };
    this.#put('message', draft.id, draft);
    conversation.add(draft);
    this.#tasks.message.request();
  }

  // delivered marks a message as delivered.
  delivered(conversation, id) {
    conversation.marked(id, 'delivered');
    this.#put('delivered', id, { message: id, conversation: conversation.id });
    this.#tasks.delivered.request(BATCH_PAUSE);
  }

  // readUpTo marks all messages up to one as read.
  readUpTo(conversation, { id, seq }) {
    this.#put('read', id, { message: id, seq, conversation: conversation.id });
    for (const message of conversation.received(seq)) this.#remove('delivered', message.id);
    conversation.readUpTo(seq);
    this.#tasks.read.request();
  }

  // sendMessages sends one message after another, so that they keep the order in which they were written.
  async #sendMessages() {
    const drafts = this.#entries('message').sort((a, b) => a.at - b.at);
    for (const { id, conversation, body } of drafts) {
      const room = this.#conversations.get(conversation);
      try {
        const message = await api.send({ id, conversation, body, socket: this.#socket() });
        room?.sent(message);
      } catch (error) {
        if (!(error instanceof api.Refusal)) throw error;
        room?.refused(id, error.message);
      }
      this.#remove('message', id);
    }
  }

  async #sendDelivered() {
    const marks = this.#entries('delivered').slice(0, BATCH_LIMIT);
    if (marks.length === 0) return;
    const { results } = await api.mark({ messages: marks.map((m) => m.message), status: 'delivered', socket: this.#socket() });
    results.forEach(({ changed, receipt, error }, i) => {
      if (PASSING.includes(error)) return;
      this.#remove('delivered', marks[i].message);
      if (changed) this.#conversations.get(marks[i].conversation)?.learned(receipt.version, receipt.version);
    });
    if (results.some((result) => PASSING.includes(result.error))) throw new Error('some marks were not taken');
    if (marks.length === BATCH_LIMIT) this.#tasks.delivered.request();
  }

  // sendRead sends one mark for each conversation, the last.
  async #sendRead() {
    const marks = this.#entries('read').sort((a, b) => a.seq - b.seq);
    const last = new Map(marks.map((mark) => [mark.conversation, mark]));
    for (const { conversation, message, seq } of last.values()) {
      this.#conversations.get(conversation)?.readUpTo(seq); // the mark may be another page's
      try {
        const { changed, from, to } = await api.markUpTo({ conversation, message, status: 'read', socket: this.#socket() });
        const unmixed = changed > 0 && to - from + 1 === changed; // no other user made a change in between
        if (unmixed) this.#conversations.get(conversation)?.learned(from, to);
      } catch (error) {
        if (!(error instanceof api.Refusal)) throw error;
      }
      marks.filter((mark) => mark.conversation === conversation).forEach((mark) => this.#remove('read', mark.message));
    }
  }

  // Each entry has a key of its own, so that several pages of one browser don't overwrite each other's.

  #put(kind, key, value) {
    localStorage.setItem(`${this.#prefix}${kind}/${key}`, JSON.stringify(value));
  }

  #remove(kind, key) {
    localStorage.removeItem(`${this.#prefix}${kind}/${key}`);
  }

  #entries(kind) {
    const prefix = `${this.#prefix}${kind}/`;
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    return keys.map((key) => JSON.parse(localStorage.getItem(key)));
  }
}
