// Package names turns DNS answers that pods of this node got into what is true: which addresses a domain name stands for, and until
// when. An answer is held until the network knows what it told, so that the connection that follows it passes. The clock of DNS is
// here alone: a name's addresses count for the time that the answer says, never less than a minimum, and for a grace period. What is
// known outlives the daemon in a file.
package names
