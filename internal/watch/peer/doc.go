// Package peer watches what BGP peers teach us: the best paths in the speaker, as model.Path. It only looks;
// what the speaker holds of ours is the driver's business.
//
// The speaker's events only say for which prefixes it is time to look; those are then read as they are. When
// the speaker has a new life, or we have, the routes that were true before stay until their peers are back
// and have told theirs, or until a minute is over: a restart is not a reason to drop packets. For our own
// new life the kernel remembers them.
package peer
