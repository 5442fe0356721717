package jobspec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// ErrSecret is returned when a secretRef cannot be resolved on this machine.
var ErrSecret = errors.New("secret not found")

// SecretsDir is the environment variable that names the folder of secrets: one folder for each, with the files accessKey and secretKey.
const SecretsDir = "SSLCTL_SECRETS_DIR"

// Secret is a pair of S3 credentials.
type Secret struct {
	AccessKey, SecretKey string
}

// String hides the credentials from logs.
func (s Secret) String() string { return "(secret)" }

// GoString hides the credentials from %#v.
func (s Secret) GoString() string { return "jobspec.Secret{…}" }

// Resolve finds the credentials on this machine: in the files accessKey and secretKey of $SSLCTL_SECRETS_DIR/NAME when that folder
// exists, else in the environment. A nil reference gives an empty Secret: anonymous access. The error matches ErrSecret and says where
// was looked.
func (r *SecretRef) Resolve() (Secret, error) {
	if r == nil {
		return Secret{}, nil
	}
	// The name becomes part of a path; a job that did not pass validation must not reach outside the folder.
	if !dnsLabel.MatchString(r.Name) {
		return Secret{}, fmt.Errorf("resolving secret %q: %w: the name is not a DNS label", r.Name, ErrSecret)
	}
	if root := os.Getenv(SecretsDir); root != "" {
		dir := filepath.Join(root, r.Name)
		if _, err := os.Stat(dir); err == nil {
			return r.fromFiles(dir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return Secret{}, fmt.Errorf("resolving secret %s: %w: %w", r.Name, ErrSecret, err)
		}
	}
	accessName, secretName := r.environment()
	s := Secret{AccessKey: os.Getenv(accessName), SecretKey: os.Getenv(secretName)}
	if s.AccessKey != "" && s.SecretKey != "" {
		return s, nil
	}
	return Secret{}, fmt.Errorf("resolving secret %s: %w on this machine: expected the files $%s/%s/accessKey and secretKey, or %s and %s in the "+
		"environment of the worker", r.Name, ErrSecret, SecretsDir, r.Name, accessName, secretName)
}

func (r *SecretRef) fromFiles(dir string) (Secret, error) {
	read := func(name string) (string, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("resolving secret %s: %w: %w", r.Name, ErrSecret, err)
		}
		key := strings.TrimSpace(string(data))
		if key == "" {
			return "", fmt.Errorf("resolving secret %s: %w: %s is empty", r.Name, ErrSecret, filepath.Join(dir, name))
		}
		return key, nil
	}
	access, err := read("accessKey")
	if err != nil {
		return Secret{}, err
	}
	secret, err := read("secretKey")
	if err != nil {
		return Secret{}, err
	}
	return Secret{AccessKey: access, SecretKey: secret}, nil
}

// environment names the variables that hold the secret.
func (r *SecretRef) environment() (access, secret string) {
	stem := "SSLCTL_SECRET_" + strings.ToUpper(strings.ReplaceAll(r.Name, "-", "_"))
	return stem + "_ACCESS_KEY", stem + "_SECRET_KEY"
}

// credentials are names, in small letters and without hyphens and underscores, under which people write what a job file must not hold.
var credentials = []string{"accesskey", "accesskeyid", "awsaccesskeyid", "secretkey", "secretaccesskey", "awssecretaccesskey", "sessiontoken", "password", "token", "secret", "credentials"}

// What is said of a credential in a job file.
const (
	credentialGiven  = "credentials never stand in a job file"
	credentialWanted = "secretRef: {name: NAME}, and those of NAME on each worker (sslctl worker --help says where)"
)

// isCredential tells whether a field of that name would hold a secret, which no error may repeat.
func isCredential(name string) bool {
	return slices.Contains(credentials, strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)))
}

// withoutCredentials is an override as errors may repeat it: without its value where that is, or holds, a secret.
func withoutCredentials(override string) string {
	path, value, _ := strings.Cut(override, "=")
	secret := strings.Contains(value, "://") && strings.Contains(value, "@")
	for name := range strings.FieldsFuncSeq(override, func(r rune) bool { return !isNameRune(r) }) {
		secret = secret || isCredential(name) || strings.EqualFold(name, "secretRef")
	}
	if secret {
		return path + "=…"
	}
	return override
}

// isNameRune tells whether r may be in the name of a field.
func isNameRune(r rune) bool {
	return r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// holdsCredentials tells whether there is a user, or more, before the host of an address.
func holdsCredentials(address string) bool {
	scheme, rest, ok := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return ok && scheme != "file" && strings.Contains(host, "@")
}
