package agent

import (
	"context"

	"kube-router/internal/config"
	"kube-router/internal/show"
)

// Doctor checks what this node needs and says how to mend what is missing. The number is of what is wrong.
func Doctor(context.Context, *config.Options) (show.Page, int) {
	return show.Page{}, 0
}
