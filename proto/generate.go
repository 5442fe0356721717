// Package proto holds the contracts between sslctl's processes: protobuf messages, connect services and NATS subject names.
package proto

//go:generate protoc --go_out=.. --go_opt=module=github.com/sslctl/sslctl --connect-go_out=.. --connect-go_opt=module=github.com/sslctl/sslctl sslctl/v1alpha1/sslctl.proto sslctl/v1alpha1/operator.proto sslctl/v1alpha1/logs.proto
