// Package bus runs and reaches the message bus of a cluster: core NATS, without JetStream. Coordinators embed a server each and
// cluster them; everybody connects as a client. It knows nothing of what is sent.
package bus
