// A program that calls each route of the API with the generated types, and throws if an answer is another than it expects.
import createClient from 'openapi-fetch'
import type { components, paths } from './delivery.js'

type Problem = components['schemas']['Problem']
type Status = components['schemas']['Status']

declare const process: { env: { API: string } }

const as = (user: string) => createClient<paths>({ baseUrl: process.env.API, headers: { 'X-User': user } })
const alice = as('alice'), bob = as('bob')

// ok returns the data of an answer that is no problem.
function ok<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.status} ${answer.error?.code} ${answer.error?.field} ${answer.error?.detail}`)
  return answer.data
}

function same<T extends string | number | boolean | undefined>(what: string, got: T, want: T) {
  if (got !== want) throw new Error(`${what} is ${got}, want ${want}`)
}

const conversation = 'lunch & dinner/1'
const message = ok(await alice.POST('/messages', { body: { conversation, body: 'Soup?', id: 'm1', socket: '1.1' } }))
same('the status of a message that was just sent', message.status, 'sent' satisfies Status)
ok(await alice.POST('/messages', { body: { conversation, body: 'At noon?', id: 'm2' } }))
ok(await alice.POST('/messages', { body: { conversation, body: 'Or at one?', id: 'm3' } }))

const page = ok(await bob.GET('/messages', { params: { query: { conversation, limit: 2 } } }))
same('the messages of a page', page.messages.map((m) => m.body).join(), 'At noon?,Or at one?')
same('whether there are more', page.more, true)

const list = ok(await bob.GET('/unread', { params: { query: { conversation: [conversation, 'empty'] } } }))
same('what bob has not read', list.unread.find((u) => u.conversation === conversation)?.count, 3)

const receipt = ok(await bob.POST('/marks', { body: { message: 'm1', status: 'read', socket: '2.2' } }))
same('the status of a receipt', receipt.status, 'read')
same('whether the time of reading is there', typeof receipt.read_at, 'string')

const batch = ok(await bob.POST('/marks/batch', { body: { messages: ['m2', 'm9'], status: 'delivered' } }))
same('the results of a batch', batch.results.map((r) => `${r.message} ${r.changed} ${r.error}`).join(), 'm2 true undefined,m9 false not_found')

const upTo = ok(await bob.POST('/marks/up-to', { body: { conversation, message: 'm2', status: 'read' } }))
same('what an up-to mark changed', upTo.changed, 1)

const changes = ok(await alice.GET('/changes', { params: { query: { conversation, since: page.version, epoch: page.epoch } } }))
same('what alice missed', changes.messages.map((m) => `${m.id} ${m.status}`).join(), 'm1 read,m2 read')

const receipts = ok(await alice.GET('/receipts', { params: { query: { message: 'm3', status: 'sent' } } }))
same('who has not got a message', receipts.receipts.map((r) => r.recipient).join(), 'bob')

same('the badge', ok(await bob.POST('/dismiss', { body: { conversation, message: 'm3' } })).badge, 3)
same('the flag', ok(await bob.POST('/unread', { body: { message: 'm3' } })).flag, 3)
same('what a deletion deleted', ok(await alice.POST('/messages/delete', { body: { message: 'm3' } })).deleted, 1)

const { error } = await alice.POST('/marks', { body: { message: 'm1', status: 'read' } })
same('the code of a mark of a message of one\'s own', error?.code, 'own_message')
