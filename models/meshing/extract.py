"""A closed triangle mesh of a scene, with colours and labels.

    mesh = scene.mesh(resolution=160)
    mesh.vertices, mesh.faces, mesh.colours, mesh.labels
"""
