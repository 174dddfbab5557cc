package delivery
// BreakerState says whether the relay trusts the Notifier's endpoint.
type BreakerState uint8
