package bus

import "strings"

// Answered tells from the error of an HTTP request to a coordinator whether something else answered: a NATS server, whose ports are near a
// coordinator's own, or another server that does not speak HTTP. The answer stands in the error; why says what it means instead.
func Answered(err error) (why string, other bool) {
	text := err.Error()
	switch {
	case strings.Contains(text, "readLoopPeekFailLocked: %!w(<nil>)"): // net/http's words for bytes that came before it had asked
		return "a server that speaks first, as NATS does, answers there, not a coordinator; the API is at the coordinator's --listen", true
	case !strings.Contains(text, "malformed HTTP"):
		return "", false
	case strings.Contains(text, "server_id"): // the greeting of a NATS server has it
		return "a NATS server answers there, not a coordinator; the API is at the coordinator's --listen", true
	}
	return "what answers there does not speak HTTP, so it is no coordinator", true
}
