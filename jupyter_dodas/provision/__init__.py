"""The ground: infrastructures, made from TOSCA templates by provisioners. Nothing here knows a hub."""
