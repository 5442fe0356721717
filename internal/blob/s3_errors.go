package blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
)

// fail turns an error of the S3 client into one of this package's, with the endpoint, the bucket and what to do.
func (s *s3) fail(ctx context.Context, op, key string, err error) error {
	advice, kind := s.explain(err)
	var answer minio.ErrorResponse
	var request *url.Error
	switch {
	case errors.As(err, &answer) && (kind == nil || kind == ErrUnavailable):
		// The client's own text leaves the code out, which is what one searches for.
		err = fmt.Errorf("%s (HTTP %d): %w", answer.Code, answer.StatusCode, err)
	case errors.As(err, &answer):
		err = &told{fmt.Sprintf(" (%s, HTTP %d)", answer.Code, answer.StatusCode), err}
	case errors.As(err, &request):
		err = request.Err // without the URL: the object and the endpoint are named already
	}
	if wait := adviceIn(ctx); kind == ErrUnavailable && wait > 0 {
		err = &retryAfter{err, wait}
	}
	return fail(ctx, op, Join(s.URI(), key)+" at "+s.endpoint, kind, err, advice)
}

func (s *s3) explain(err error) (advice string, kind error) {
	var source *sourceError
	var answer minio.ErrorResponse
	switch {
	case errors.As(err, &source):
		return "", nil
	case !errors.As(err, &answer):
		return s.explainTransport(err)
	}
	switch answer.Code {
	case minio.NoSuchBucket, "InvalidBucketName":
		return fmt.Sprintf("create the bucket %q there, or correct the URI or the endpoint", s.at.bucket), ErrNoBucket
	case "NoSuchKey":
		return "check the prefix and the name", ErrNotExist
	case "InvalidRange":
		return "", ErrRange
	case "InvalidAccessKeyId":
		return "the service does not know this access key; check AWS_ACCESS_KEY_ID or the job's secretRef, and the endpoint", ErrDenied
	case "SignatureDoesNotMatch":
		return "the secret key is wrong; check AWS_SECRET_ACCESS_KEY or the job's secretRef", ErrDenied
	case "RequestTimeTooSkewed":
		return "set this machine's clock", ErrDenied
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return "the bucket may be in another region; set AWS_REGION", nil
	case "XMinioStorageFull":
		return "free some space on the service", ErrNoSpace
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded":
		return "", ErrUnavailable
	}
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return "check the prefix and the name", ErrNotExist
	case code == http.StatusForbidden && !s.signed:
		return "the request was not signed; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the job's secretRef", ErrDenied
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		return fmt.Sprintf("let this access key use the bucket %q, or use another one", s.at.bucket), ErrDenied
	case code == http.StatusInsufficientStorage:
		return "free some space on the service", ErrNoSpace
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return "check the service", ErrUnavailable
	}
	return "", nil
}

// explainTransport tells failures that stay as they are (certificates, http against https) from those that may pass.
func (s *s3) explainTransport(err error) (advice string, kind error) {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &certificate):
		return "its certificate is not trusted; add its authority to the system's or correct the endpoint", nil
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "write the endpoint with http://", nil
	case errors.Is(err, errSlow):
		return "check the network to the service", ErrUnavailable
	}
	return "check that the service runs and that the endpoint is right", ErrUnavailable
}
