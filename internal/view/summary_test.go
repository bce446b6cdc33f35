package view

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kube-router/internal/config"
	"kube-router/internal/model"
	"kube-router/internal/show"
	"kube-router/internal/watch/kube"
	"kube-router/internal/watch/peer"
)

// TestSummaryOfADaemonThatHangs shows that the first look answers, and says what is the matter, while the thinking
// goroutine is stuck and answers nobody.
func TestSummaryOfADaemonThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Int64
		d := &Daemon{
			Options: &config.Options{},
			Pulse:   func() show.Pulse { return show.Pulse{Started: true, Busy: time.Duration(busy.Load())} },
			Busy:    func() time.Duration { return time.Duration(busy.Load()) },
			Planned: func() []model.Remark { return nil },
			Sources: func() []kube.SourceStatus { return nil },
			Think: func(ctx context.Context, _ func(World)) error {
				<-ctx.Done()
				return ctx.Err()
			},
		}
		busy.Store(int64(91 * time.Second))
		page, err := d.summary(t.Context(), nil)
		text := fmt.Sprint(page.Rows)
		if err != nil || !strings.Contains(text, "one thought has taken 1m31s so far") || !strings.Contains(text, "remarks unknown") {
			t.Errorf("%v: %s", err, text)
		}
		busy.Add(int64(10 * time.Minute))
		page, err = d.summary(t.Context(), nil)
		if text = fmt.Sprint(page.Rows); err != nil || !strings.Contains(text, "state unwell") || !strings.Contains(text, "thinking has been stuck for 11m3") {
			t.Errorf("%v: %s", err, text)
		}
	})
}

// TestSummaryNamesWhatIsCutOff shows that a node which hears nothing of the cluster doesn't just call itself well.
func TestSummaryNamesWhatIsCutOff(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	down := kube.SourceStatus{Kind: model.KindPod, Synced: true, Since: at, LastError: "connection refused"}
	for want, list := range map[string][]kube.SourceStatus{
		"answers": {{Connected: true, Since: at}, {}},
		"NO ANSWER since 03:04:05 for 1 of 2 watches: this node goes on with what it knows; connection refused": {{Connected: true, Since: at}, down},
	} {
		if got := apiFact(list); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, got := range map[string]string{
		"1 of 1 established":                             sessionsFact([]peer.State{{Session: "ESTABLISHED"}}, nil),
		"1 of 2 established; see kube-router show peers": sessionsFact([]peer.State{{Session: "ESTABLISHED"}, {Session: "ACTIVE"}}, nil),
		"unknown: the speaker does not answer: no way":   sessionsFact(nil, errors.New("no way")),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
