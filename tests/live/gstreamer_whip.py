"""Publishes a test picture and tone to a WHIP endpoint through GStreamer's webrtcbin: gstreamer_whip.py URL TOKEN (runs until interrupted)."""
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

URL, TOKEN = sys.argv[1:]
Gst.init(None)
pipeline = Gst.parse_launch(
    "webrtcbin name=peer bundle-policy=max-bundle "
    "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 ! vp8enc deadline=1 keyframe-max-dist=15 ! rtpvp8pay pt=96 picture-id-mode=2 "
    "! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer. "
    "audiotestsrc is-live=true freq=700 ! audioconvert ! audioresample ! opusenc ! rtpopuspay pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! peer."
)
peer = pipeline.get_by_name("peer")


def gathered(_peer, _param):
    if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        return
    offer = peer.get_property("local-description").sdp.as_text()
    request = urllib.request.Request(URL, offer.encode(), {"content-type": "application/sdp", "authorization": f"Bearer {TOKEN}"})
    answer = urllib.request.urlopen(request).read()
    _, sdp = GstSdp.SDPMessage.new_from_text(answer.decode())
    peer.emit("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp), Gst.Promise.new())


def offered(promise, _peer, _data):
    promise.wait()
    reply = promise.get_reply()  # owns the offer
    peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())


peer.connect("notify::ice-gathering-state", gathered)
peer.connect("on-negotiation-needed", lambda _peer: peer.emit("create-offer", None, Gst.Promise.new_with_change_func(offered, peer, None)))
pipeline.set_state(Gst.State.PLAYING)
GLib.MainLoop().run()
