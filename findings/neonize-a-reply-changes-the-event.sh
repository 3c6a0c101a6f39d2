#!/usr/bin/env bash
# Guess:   building a reply reads the message that it quotes.
# Happens: build_reply_message empties the context of the quoted message itself, in the event that the program holds. Not so for a sender's first
#          message in a group: a field with the sender's key comes before its text there, is taken for the content, and the context stays.
# Matters: a bot that answers first and looks afterwards finds no mentions and no quoted message in the event, so what one handler sees depends on
#          what another has done. A test that begins with a new group does not show it.
. "$(dirname "$0")/lib/setup"
pip_install neonize==0.5.2 protobuf==7.36.2
cat > reply.py <<'PY'
from neonize.client import NewClient
from neonize.proto.Neonize_pb2 import Message as Event
from neonize.utils.jid import build_jid


def received(*, is_first: bool) -> Event:
    event = Event()
    event.Info.ID = "3EB0A1"
    event.Info.MessageSource.Chat.CopyFrom(build_jid("120363000000000001", "g.us"))
    event.Info.MessageSource.Sender.CopyFrom(build_jid("79000000001"))
    event.Message.extendedTextMessage.text = "@79000000002 how many?"
    event.Message.extendedTextMessage.contextInfo.mentionedJID.append("79000000002@s.whatsapp.net")
    if is_first:
        event.Message.senderKeyDistributionMessage.groupID = "120363000000000001@g.us"
        event.Message.senderKeyDistributionMessage.axolotlSenderKeyDistributionMessage = b"key"
    return event


client = NewClient.__new__(NewClient)  # builds messages only: no connection, no database
for is_first in (False, True):
    event = received(is_first=is_first)
    text = event.Message.extendedTextMessage
    before = len(text.contextInfo.mentionedJID)
    client.build_reply_message("two", event)
    print(f"sender's first: {is_first}; mentions in the event before {before}, after {len(text.contextInfo.mentionedJID)}")
PY
"$python" reply.py 2>warnings.log | expect "sender's first: False; mentions in the event before 1, after 0
sender's first: True; mentions in the event before 1, after 1"
