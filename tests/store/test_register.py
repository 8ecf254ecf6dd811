"""Register: what all processes of an inbox must agree on."""

from store.scene import Scene


def test_the_first_one_is_recorded(scene: Scene) -> None:
    """Its own words come back."""
    assert scene.store.register(32, "json") == (32, "json")


def test_a_later_one_is_told_what_is_recorded(scene: Scene) -> None:
    """Nothing is overwritten; the caller compares."""
    scene.store.register(32, "json")
    assert scene.store.register(64, "msgpack") == (32, "json")
    assert scene.store.register(32, "json") == (32, "json")
