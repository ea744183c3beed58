"""The nodes room: who is in the fleet, who is there now, who may join, and which nodes a selector picks."""
