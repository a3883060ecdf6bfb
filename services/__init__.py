"""The three processes of a link: transmitter, channel, receiver."""
