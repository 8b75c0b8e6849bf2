"""Search: names and words of everything, kept by triggers; the owner beside each resource; indexes of the lists."""

import sqlalchemy as sa
from alembic import op

from uwu.kernel import search_index

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("resources", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "owner", sa.Text(), server_default="", nullable=False, comment="that of ownership, kept by a trigger"
            )
        )
        batch_op.drop_index(batch_op.f("ix_resources_type"))
        batch_op.drop_index(batch_op.f("ix_resources_account_resources_region"))
        batch_op.create_index("ix_resources_by_name", ["name", "urn"])
        batch_op.create_index("ix_resources_by_type", ["type", "account", "region", "owner"])
        batch_op.create_index("ix_resources_by_account", ["account", "region", "type", "owner"])
        batch_op.create_index("ix_resources_by_region", ["region", "type", "account", "owner"])
        batch_op.create_index("ix_resources_by_owner", ["owner", "account", "type", "region"])
        batch_op.create_index("ix_resources_by_maker", ["managed_by", "owner", "account"])
    with op.batch_alter_table("coverage", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_coverage_status"))
        batch_op.drop_index(batch_op.f("ix_coverage_account"))
        batch_op.create_index("ix_coverage_by_status", ["status", "account", "type"])
        batch_op.create_index("ix_coverage_by_account", ["account", "type", "status"])
        batch_op.create_index("ix_coverage_by_type", ["type", "status", "account"])
    with op.batch_alter_table("declarations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_declarations_address"), ["address"])
    search_index.install(op.get_bind())
