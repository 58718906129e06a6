// Command penstock looks at an event log and the workers that read it, and operates them: live,
// beside the process that writes, and cold.
//
//	penstock status DIR
//
// See package cli, which a program can mount with its own types.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/penstock-io/penstock/actors/admin/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := cli.New(cli.Options{}).ExecuteContext(ctx)
	stop()
	os.Exit(cli.ExitCode(err))
}
