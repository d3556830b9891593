"""An endpoint is its owner's alone."""

import pytest

from imagemill.domain.errors import InvalidInput, NotFound
from imagemill.webhooks.store import MessagePage
from tests.webhooks.conftest import ANN, Post


def test_another_owners_endpoint_is_not_there(post: Post):
    webhooks = post.webhooks
    post.dispatcher.close()
    endpoint = post.endpoint("http://127.0.0.1:9/hook")
    message = webhooks.test(ANN, endpoint.id)
    id_ = endpoint.id
    for attempt in (
        lambda: webhooks.get("bob", id_),
        lambda: webhooks.update("bob", id_, {"description": "mine"}),
        lambda: webhooks.rotate("bob", id_),
        lambda: webhooks.pause("bob", id_),
        lambda: webhooks.resume("bob", id_),
        lambda: webhooks.test("bob", id_),
        lambda: webhooks.remove("bob", id_),
        lambda: webhooks.redeliver("bob", id_, message.id),
        lambda: webhooks.redeliver_failed("bob", id_, 0),
        lambda: webhooks.messages("bob", MessagePage(id_)),
        lambda: webhooks.message("bob", id_, message.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert webhooks.list("bob") == []
    assert webhooks.get(ANN, id_) == endpoint


def test_a_message_is_found_at_its_own_endpoint_only(post: Post):
    post.dispatcher.close()
    one, other = post.endpoint("http://127.0.0.1:9/a"), post.endpoint("http://127.0.0.1:9/b")
    message = post.webhooks.test(ANN, one.id)
    with pytest.raises(NotFound):
        post.webhooks.message(ANN, other.id, message.id)
    with pytest.raises(NotFound):
        post.webhooks.redeliver(ANN, other.id, message.id)


def test_a_private_address_is_refused_when_an_endpoint_is_added_or_changed(post: Post):
    post.dispatcher.close()
    with pytest.raises(InvalidInput):
        post.endpoint("http://169.254.169.254/latest")
    endpoint = post.endpoint("http://127.0.0.1:9/a")
    with pytest.raises(InvalidInput):
        post.webhooks.update(ANN, endpoint.id, {"url": "http://[::ffff:10.0.0.1]/"})
