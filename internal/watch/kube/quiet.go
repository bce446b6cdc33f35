package kube

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// Quiet makes client-go write to our log, at debug level, what it does on behalf of ctx.
func Quiet(ctx context.Context, l *slog.Logger) context.Context {
	return klog.NewContext(ctx, quietLogger(l))
}

// quiet lowers every record to debug level. client-go reports each failed attempt as an error; we log a
// failure once when it appears and once when it goes.
type quiet struct{ slog.Handler }

func quietLogger(l *slog.Logger) logr.Logger { return logr.FromSlogHandler(quiet{l.Handler()}) }

// Enabled tells whether debug records are wanted.
func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle passes the record on at debug level. logr hands over errors without asking Enabled.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs keeps the lowering for derived loggers.
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }

// WithGroup keeps the lowering for derived loggers.
func (q quiet) WithGroup(n string) slog.Handler { return quiet{q.Handler.WithGroup(n)} }
