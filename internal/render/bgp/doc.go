// Package bgp renders intents in the words of the BGP speaker: sets, policies, paths and neighbours.
package bgp
