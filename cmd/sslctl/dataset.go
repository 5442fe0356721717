package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/internal/jobspec"
)

func newDatasetCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dataset",
		Short: "Pack and inspect data sets of WebDataset shards",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDatasetPackCommand(g), newDatasetInspectCommand(g))
	return cmd
}

// accessOptions say how this process reaches an S3 bucket.
type accessOptions struct{ endpoint, region, secret string }

func (a *accessOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.endpoint, "endpoint", "", "S3 server as http://host:port (default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon S3)")
	f.StringVar(&a.region, "region", "", "region of the bucket (default: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1)")
	f.StringVar(&a.secret, "secret", "", "name of the credentials, as a job's secretRef (default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else anonymous)")
}

// resolve finds the credentials. While a server does not answer, lines to w say so.
func (a accessOptions) resolve(w io.Writer) (blob.Options, error) {
	o := blob.Options{Endpoint: a.endpoint, Region: a.region}
	var said time.Time
	o.Retry.Notify = func(n blob.Waiting) {
		if n.Waited >= time.Second && time.Since(said) >= lineEvery {
			said = time.Now()
			fmt.Fprintf(w, "trying again: %v\n", n.Cause)
		}
	}
	if a.secret == "" {
		return o, nil
	}
	secret, err := (&jobspec.SecretRef{Name: a.secret}).Resolve()
	if err != nil {
		return o, err
	}
	o.AccessKey, o.SecretKey = secret.AccessKey, secret.SecretKey
	return o, nil
}
