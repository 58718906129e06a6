package sagas

import (
	"context"

	"github.com/penstock-io/penstock/bench/delivery"
)

// engineOfWatermill passes messages on from handler to handler.
type engineOfWatermill struct {
	hall
	*delivery.Chain
}

func openChain(ctx context.Context, dir string, acted func(step int)) (engine, error) {
	e := new(engineOfWatermill)
	var err error
	e.Chain, err = delivery.OpenChain(ctx, dir, steps, acted, e.announce)
	return e, err
}

func (e *engineOfWatermill) run(ctx context.Context, id string) error {
	ended := e.enter(id)
	if err := e.Start(id); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *engineOfWatermill) close(context.Context) error { return e.Chain.Close() }
