"""The operations of a training step, counted by hand from the sizes of its networks and from nothing that is traced.

Two operations a multiplication; norms, activations and the making of the clips are not counted, as is the custom.
"""

FEED_FORWARD = 12  # products of width x width in a gated feed-forward layer of factor 4: 8 in, 4 out
FORWARD, TRAINED = 1, 3  # a trained layer runs forward, to its inputs, and to its weights
NO_INPUT_GRADIENT = 2  # a layer whose input is not trained runs forward and to its weights


def unet(net, batch, frames, side, tokens, context, maps):
    """One forward pass, and what of it is the first layer on the timestep, whose input has no gradient."""
    width, head = net.base_channels, net.head_dim
    widths = [width * multiplier for multiplier in net.channel_multipliers]
    total = 0

    def rows(level):
        return batch * frames * (side // 2**level) ** 2

    def residual(level, before, after):
        skip = before * after if before != after else 0
        pixel = 9 * before * after + 9 * after * after + skip + 4 * 3 * after * after
        return 2 * (rows(level) * pixel + batch * 4 * width * after)

    def spatial(level, channels):
        projections = (1 + 4 + 2 + FEED_FORWARD + 1) * channels**2  # in, self, cross, feed-forward, out
        scores = 2 * channels * ((side // 2**level) ** 2 + tokens)  # with the products of weights and values
        keys = batch * tokens * 2 * context * channels
        return 2 * (rows(level) * (projections + scores) + keys)

    def temporal(level, channels, inner):
        layer = (4 + 4 + FEED_FORWARD) * inner**2 + 2 * 2 * frames * inner
        return 2 * rows(level) * (2 * channels * inner + layer)

    def block(level, before, after):
        attentions = level in net.attention_levels
        return (
            residual(level, before, after)
            + (spatial(level, after) + temporal(level, after, after)) * attentions
        )

    total += 2 * rows(0) * 9 * (net.latent_channels + maps) * width + temporal(
        0, width, net.num_input_heads * head
    )
    skips, channels = [width], width
    for level, after in enumerate(widths):
        for _ in range(net.num_res_blocks):
            total += block(level, channels, after)
            channels = after
            skips.append(channels)
        if level < len(widths) - 1:
            total += 2 * rows(level + 1) * 9 * channels**2
            skips.append(channels)
    last = len(widths) - 1
    total += (
        2 * residual(last, channels, channels) + spatial(last, channels) + temporal(last, channels, channels)
    )
    for level, after in reversed(list(enumerate(widths))):
        for _ in range(net.num_res_blocks + 1):
            total += block(level, channels + skips.pop(), after)
            channels = after
        if level > 0:
            total += 2 * rows(level - 1) * 9 * channels**2
    total += 2 * rows(0) * 9 * channels * net.latent_channels
    first = 2 * batch * width * 4 * width
    return total + first + 2 * batch * (4 * width) ** 2, first


def encoder_of_maps(net, rows, frames, side, latent, channels):
    """A forward pass of one STC-encoder, and of its first layer; `rows` is clips x frames."""
    hidden, out = net.expansion * net.out_channels, net.out_channels
    first = 2 * rows * (side // net.patch_size) ** 2 * 9 * channels * net.patch_size**2 * hidden
    strided = rows * 9 * hidden * ((2 * latent) ** 2 * hidden + latent**2 * out)
    inner = net.heads * net.out_channels
    temporal = rows * latent**2 * (4 * out * inner + 2 * frames * inner + 2 * 4 * out * out)
    return first + 2 * (strided + temporal), first


def autoencoder(net, images, side):
    """Encoding images."""
    side //= net.patch_size
    channels, pixel = net.base_channels, 9 * 3 * net.patch_size**2 * net.base_channels * side**2
    for level, multiplier in enumerate(net.channel_multipliers):
        for _ in range(net.num_res_blocks):
            after = net.base_channels * multiplier
            pixel += side**2 * (
                9 * channels * after + 9 * after**2 + (channels * after if channels != after else 0)
            )
            channels = after
        if level < len(net.channel_multipliers) - 1:
            side //= 2
            pixel += side**2 * 9 * channels**2
    middle = 2 * 18 * channels**2 + 4 * channels**2 + 2 * side**2 * channels
    head = 9 * channels * 2 * net.latent_channels + (2 * net.latent_channels) ** 2
    return 2 * images * (pixel + side**2 * (middle + head))


def tower(net, batch, length):
    """The layers of a transformer."""
    return 2 * batch * length * net.layers * (12 * net.width**2 + 2 * length * net.width)


def training_step(composer, batch):
    """Of the diffusion task with all of a composer's conditions, without rematerialisation."""
    networks, shape = composer.networks, composer.shape
    frames, factor = shape.frames, networks.autoencoder.downsampling
    latent = shape.height // factor
    kinds = {name: c.kind for name, c in composer.conditions.items()}
    maps = {name: c for name, c in composer.conditions.items() if kinds[name] != "tokens"}
    vectors = {name: c for name, c in composer.conditions.items() if hasattr(c, "embed_dim")}
    context = networks.tokens.token_dim
    tokens = networks.text.context_length + len(vectors)

    whole, first = unet(networks.unet, batch, frames, latent, tokens, context, networks.stc.out_channels)
    total = TRAINED * (whole - first) + NO_INPUT_GRADIENT * first
    for condition in maps.values():
        length = condition.count(shape)
        side, channels = condition.size(shape)[0], condition.channels
        whole, first = encoder_of_maps(networks.stc, batch * length, length, side, latent, channels)
        total += TRAINED * (whole - first) + NO_INPUT_GRADIENT * first
    for condition in vectors.values():
        total += 2 * batch * (NO_INPUT_GRADIENT * condition.embed_dim * context + TRAINED * context**2)
        vision = networks.vision
        patches = (vision.image_size // vision.patch_size) ** 2
        embedding = (
            2 * batch * (patches * 3 * vision.patch_size**2 * vision.width + vision.width * vision.embed_dim)
        )
        total += FORWARD * (tower(vision, batch, patches + 1) + embedding)
    total += FORWARD * tower(networks.text, batch, networks.text.context_length)
    return total + FORWARD * autoencoder(networks.autoencoder, batch * frames, shape.height)
