package worker

import "time"

// sayEvery is how often the log says that a trouble lasts.
const sayEvery = 30 * time.Second

// outage decides when a trouble that is met again and again is worth a line in the log: once it has lasted for a while, and then now and
// again. The zero value is no trouble.
type outage struct{ since, said time.Time }

// met notes that the trouble was met and tells whether to say so, which it is only once it has lasted for grace.
func (o *outage) met(now time.Time, grace time.Duration) (say bool) {
	if o.since.IsZero() {
		o.since = now
	}
	if now.Sub(o.since) < grace || (!o.said.IsZero() && now.Sub(o.said) < sayEvery) {
		return false
	}
	o.said = now
	return true
}

// over ends the trouble and tells how long it has lasted, and whether anything was said of it.
func (o *outage) over(now time.Time) (lasted time.Duration, said bool) {
	lasted, said = now.Sub(o.since), !o.said.IsZero()
	*o = outage{}
	return lasted, said
}
