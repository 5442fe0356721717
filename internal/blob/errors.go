package blob

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrURI is returned for a URI or key that names nothing.
	ErrURI = errors.New("bad object address")
	// ErrNotExist is returned when there is no such object.
	ErrNotExist = errors.New("no such object")
	// ErrNoBucket is returned when the S3 bucket itself is missing. It is not an ErrNotExist: nothing can be stored there either.
	ErrNoBucket = errors.New("no such bucket")
	// ErrDenied is returned when the credentials or the file's permissions do not allow the operation.
	ErrDenied = errors.New("access denied")
	// ErrNoSpace is returned when the disk or the service is full.
	ErrNoSpace = errors.New("no space left")
	// ErrRange is returned when a read starts behind the object's end.
	ErrRange = errors.New("offset is behind the object's end")
	// ErrUnavailable is returned when the service could not be reached, was overloaded or broke off. Trying again may help; a bucket from
	// Open has already done so within its budget.
	ErrUnavailable = errors.New("object store unavailable")
)

// fail says what was being done to which object, what kind of failure it was, why, and what to do. A cancelled ctx is told as such: the
// failure that it caused says nothing.
func fail(ctx context.Context, op, object string, kind, cause error, advice string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, object, err)
	}
	if advice != "" {
		advice = "; " + advice
	}
	if kind == nil {
		return fmt.Errorf("%s %s: %w%s", op, object, cause, advice)
	}
	if _, ok := cause.(*told); ok {
		return fmt.Errorf("%s %s: %w%w%s", op, object, kind, cause, advice)
	}
	return fmt.Errorf("%s %s: %w: %w%s", op, object, kind, cause, advice)
}

// told is a cause whose own words would say again what its kind has said: text, which may be empty, follows the kind in their place.
type told struct {
	text  string
	cause error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.cause }
