package source

import (
	"context"
	"errors"
)

func openParquet(ctx context.Context, file File, from Position) (rows, error) {
	return nil, errors.New("parquet")
}
