package podstream

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// streamPatience is how long a client may take to open the streams that it asked for.
const streamPatience = 30 * time.Second

// execSPDY is the same over SPDY, which kubectl spoke alone until 1.29 and falls back to where a proxy between refuses WebSockets.
func execSPDY(w http.ResponseWriter, r *http.Request, want Want, run Run) {
	if _, err := httpstream.Handshake(r, w, []string{remotecommand.StreamProtocolV4Name}); err != nil {
		return // the client was told
	}
	arrived := make(chan httpstream.Stream, 8)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		go func() {
			<-replied
			arrived <- s
		}()
		return nil
	})
	if conn == nil {
		return // the client was told
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-conn.CloseChan():
		case <-ctx.Done():
			conn.Close()
		}
	}()
	streams, verdicts := gather(ctx, want, arrived)
	if verdicts == nil {
		return // gone, or it never opened them
	}
	_, _ = verdicts.Write(verdict(run(ctx, streams))) // fails only if the client is gone
}

// gather waits for the streams that the client announced, and returns the one for the verdict beside them; nil if they don't come.
func gather(ctx context.Context, want Want, arrived <-chan httpstream.Stream) (streams Streams, verdicts httpstream.Stream) {
	missing := 1
	for _, yes := range []bool{want.Stdin, want.Stdout, want.Stderr, want.TTY} {
		if yes {
			missing++
		}
	}
	late := time.After(streamPatience)
	for ; missing > 0; missing-- {
		select {
		case s := <-arrived:
			switch s.Headers().Get("streamType") {
			case "error":
				verdicts = s
			case "stdin":
				streams.Stdin = s
			case "stdout":
				streams.Stdout = s
			case "stderr":
				streams.Stderr = s
			case "resize":
				streams.Resize = sizes(ctx, s)
			}
		case <-ctx.Done():
			return streams, nil
		case <-late:
			return streams, nil
		}
	}
	return streams, verdicts
}
