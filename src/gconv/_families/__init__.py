"""The kernel families, a folder each: when it may serve, what it costs, its layout, its kernel."""

from gconv._families.channel.family import Channel
from gconv._families.channels_last.family import ChannelsLast
from gconv._families.depthwise.family import Depthwise
from gconv._families.plain.family import Plain
from gconv._families.short.family import Short
from gconv._families.sliding.family import Sliding
from gconv._families.through_channels_last.family import ThroughChannelsLast
from gconv._families.transposed.family import Transposed
from gconv._families.via_c_order.family import ViaCOrder
from gconv._families.width.family import Width

# In the order in which they are asked. Of equal estimates the first is taken, and the last serves
# where no other does.
FAMILIES = (
    Width(),
    Depthwise(),
    Channel(),
    Sliding(),
    Short(),
    ChannelsLast(),
    ThroughChannelsLast(),
    Transposed(),
    ViaCOrder(),
    Plain(),
)
